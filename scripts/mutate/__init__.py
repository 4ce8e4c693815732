"""A survey by mutation: which small changes of attnlib do its tests not notice? `make mutate`."""
