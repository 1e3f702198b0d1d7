"""The destination ``snapchat_capi``: Snapchat's Conversions API, version 3."""
