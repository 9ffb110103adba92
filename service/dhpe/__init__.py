"""DHPE, the Dealer Hedge-Pressure Engine."""

__version__ = "0.1.0"
