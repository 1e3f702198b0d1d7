"""The destination ``tiktok_events``: TikTok's Events API 2.0."""
