"""Files that people write: their text, and the rights of other users to change them."""
