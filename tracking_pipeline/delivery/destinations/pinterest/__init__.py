"""The destination ``pinterest_capi``: Pinterest's API for Conversions, version 5."""
