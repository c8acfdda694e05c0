"""What makes a release: archives that are checked, licences, the change log, and the list of all that must hold."""
