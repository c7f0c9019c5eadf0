"""What lies in an archive, and where: names and places, one member at a time; what they hold is not read here."""
