"""Exports: a run as a program of plain PyTorch that anybody can read and run, and its settings as JSON."""

from core.export.kept import filename, from_settings, settings
from core.export.program import script

__all__ = ["filename", "from_settings", "script", "settings"]
