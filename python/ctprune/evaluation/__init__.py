"""How good predictions are, how sure that is, and whether two models differ. No torch in here."""
