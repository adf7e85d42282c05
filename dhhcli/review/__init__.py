"""review: a codes file -> a page on this machine to look through its people, ask for them, and say who is who."""
