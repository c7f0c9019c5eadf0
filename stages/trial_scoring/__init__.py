"""What is compared with what, and how: entries, trial lists, sides, cohorts and the table of scorers."""
