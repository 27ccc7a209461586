"""Networks: how they are built, loaded and saved, and the device and precision that they run with."""
