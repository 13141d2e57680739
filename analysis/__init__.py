"""What turns the records of a study into its report: estimates, tests, tables and figures."""
