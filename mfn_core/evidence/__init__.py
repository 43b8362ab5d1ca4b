"""What experiments found, as documents that a page, a report and a person can read alike."""
