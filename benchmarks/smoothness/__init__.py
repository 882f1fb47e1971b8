"""How well chunks fit together on a game's real pictures, and how old what is pressed is."""
