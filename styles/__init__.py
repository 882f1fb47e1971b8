"""The house's English: phrases that no text of the repository contains, and the check that looks for them."""
