"""A whole experiment from one file: sources × reductions × pre-trainings × tasks, then the comparison."""
