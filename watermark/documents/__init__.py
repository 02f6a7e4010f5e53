"""The texts to be looked at: out of files, folders and standard input, with a reason where there is none."""
