"""Options: described once, in the frozen dataclass that holds them; checked, read and listed from there."""
