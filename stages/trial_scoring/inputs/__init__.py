"""What is compared: trial lists, the two sides of a trial and their vectors, cohorts."""
