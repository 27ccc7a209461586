"""What experiments/less-is-more.md needs beside the experiments' files: archives, contrasts, page."""
