"""What a request's sampling fields make of the distribution that is sampled from. Pure."""
