"""The dashboard in the system's Chromium, measured by Chromium itself."""
