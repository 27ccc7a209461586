"""What ctprune raises."""


class CtpruneError(Exception):
    """Anything that ctprune cannot do, in one sentence."""
