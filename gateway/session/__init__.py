"""The way of clients' requests, for every port: admission, order, deadlines, one reply to each."""
