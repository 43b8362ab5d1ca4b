"""What happens while a page is open: one stream of events a tab, and who else is there."""
