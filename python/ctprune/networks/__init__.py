"""Networks: built, loaded and saved in one way; the device and arithmetic that they run with."""
