"""What every port does with its clients' requests: admission, order, deadlines, one reply to each."""
