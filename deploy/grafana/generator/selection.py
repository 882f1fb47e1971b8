"""The view of the panels about gateways: the chosen gateways and ports, and how far back a rate goes."""

AT = 'instance=~"$gateway"'
ON = f'{AT}, port=~"$port"'
# Long enough for four scrapes, and longer when a pixel stands for more.
WINDOW = "[$__rate_interval]"
