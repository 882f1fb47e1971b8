#!/usr/bin/env bash
# Ask a NitroGen gateway for the actions for one picture. bash 4 or newer; uses nc, or bash's /dev/tcp without it.
#
#     bash predict.sh FILE [HOST [PORT]]
#
# FILE: a PNG, JPEG, BMP or WebP picture, or 196,608 bytes of raw RGB (256x256, row by row).

LC_ALL=C     # an answer is bytes, not text
trap '' PIPE # writing to a lost connection fails, and does not end the script

BUTTONS=(BACK DPAD_DOWN DPAD_LEFT DPAD_RIGHT DPAD_UP EAST GUIDE LEFT_SHOULDER LEFT_THUMB LEFT_TRIGGER NORTH
  RIGHT_BOTTOM RIGHT_LEFT RIGHT_RIGHT RIGHT_SHOULDER RIGHT_THUMB RIGHT_TRIGGER RIGHT_UP SOUTH START WEST)
TIMEOUT_S=10 # the gateway answers within 4 s, if need be with an error
TRIES=3
MAX_REPLY=65536 # bytes; a gateway's are much shorter

# Prints the bytes of a request for one picture.
request() {
  printf '{"type": "predict", "len": %d}\n' "$(wc -c < "$1")" && cat "$1"
}

# Sends one picture and puts the reply's line into `reply`; fails when the connection is lost. A game keeps its
# connection, to which the model's memory belongs: with /dev/tcp, leave 3 open.
ask() {
  local nc='' status
  if command -v nc; then
    exec 3< <(exec nc "$2" "$3" < <(request "$1"))
    nc=$!
  else
    exec 3<> "/dev/tcp/$2/$3" && request "$1" >&3
  fi && IFS= read -r -t "$TIMEOUT_S" -n "$MAX_REPLY" reply <&3
  status=$?
  exec 3>&-
  [[ $nc ]] && kill "$nc"
  return "$status"
} &> /dev/null

# Prints the first step's numbers of a part of the reply ("buttons", "j_left", "j_right"), with blanks between them;
# fails without any.
first_step() {
  local pattern="\"$1\":\[\[([0-9.,-]+)\]"
  [[ $reply =~ $pattern ]] && echo "${BASH_REMATCH[1]//,/ }"
}

# Prints the first step of a chunk of actions; fails without one.
show() {
  local pressed=() column=0 buttons left right value steps x y
  buttons=$(first_step buttons) && left=$(first_step j_left) && right=$(first_step j_right) || return 1
  for value in $buttons; do
    [[ $value == 1 ]] && pressed+=("${BUTTONS[column]}")
    ((column += 1))
  done
  steps=$(sed -E 's/.*"buttons":\[//; s/\]\].*//; s/[^[]//g' <<< "$reply")
  echo "${#steps} steps; the first:"
  echo "  buttons       ${pressed[*]:-none}"
  read -r x y <<< "$left" && echo "  left stick    x $x, y $y"
  read -r x y <<< "$right" && echo "  right stick   x $x, y $y"
}

if (($# < 1 || $# > 3)); then
  echo "usage: bash predict.sh FILE [HOST [PORT]]" >&2
  exit 2
fi
if [[ ! -r $1 || -d $1 ]]; then
  echo "the picture $1 cannot be read: is it there, and a file?" >&2
  exit 2
fi
host=${2:-127.0.0.1} port=${3:-5556}
for ((number = 1; number <= TRIES; number++)); do
  if ask "$1" "$host" "$port"; then
    [[ $reply == '{"status":"ok"'* ]] && show && exit 0
    if [[ $reply == '{"status":"error",'*'"message":"'* ]]; then
      message=$(sed -E 's/.*"message":"(([^"\\]|\\.)*)".*/\1/; s/\\(["\\/])/\1/g' <<< "$reply")
      echo "the gateway says: $message" >&2
      exit 1
    fi
    begins=${reply:0:60}
    begins=${begins%$'\r'}
    echo "$host:$port is not a NitroGen gateway's TCP port: it answers \"${begins//[^ -~]/?}\"" >&2
    exit 2
  fi
  echo "no answer from $host:$port, try $number of $TRIES" >&2
  ((number < TRIES)) && sleep 1
done
exit 2
