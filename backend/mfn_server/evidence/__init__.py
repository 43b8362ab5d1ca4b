"""What experiments found: documents and training runs in folders, as they are on disk now."""
