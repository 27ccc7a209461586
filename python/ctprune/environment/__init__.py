"""What a process finds around it: extras that are installed, signals that end it."""
