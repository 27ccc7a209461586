"""Segmentation: a small U-Net on a frozen or trained backbone, and its Dice by patient."""
