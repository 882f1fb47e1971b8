"""Clients' requests on their way, for every port: admission, order, deadlines, one reply to each."""
