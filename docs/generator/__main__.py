"""Write the reference of all settings: `python -m docs.generator`, or `make docs`."""

from docs.generator.settings_page import PAGE, settings_page

if __name__ == "__main__":
    PAGE.write_text(settings_page(), encoding="utf-8")
