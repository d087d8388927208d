# Read by the sessions: what a command is expected to do. PROGRAM is the client; COUNT counts the checks.
COUNT=0

# said NAME PATTERN: ends the session unless the last command's output ($out) matches.
said() {
    COUNT=$((COUNT + 1))
    if ! printf '%s\n' "$out" | grep -q -e "$2"; then
        printf 'not ok %s %s (exit %s): no %s in\n%s\n' "$COUNT" "$1" "$code" "$2" "$out"
        exit 1
    fi
    printf 'ok %s %s\n' "$COUNT" "$1"
}

# ok NAME PATTERN ARGUMENT...: the command ends well and says something that matches.
ok() {
    name=$1 pattern=$2
    shift 2
    out=$("$PROGRAM" "$@" 2>&1)
    code=$?
    if [ $code -ne 0 ]; then
        printf 'not ok %s %s (exit %s): %s\n%s\n' "$((COUNT + 1))" "$name" "$code" "$*" "$out"
        exit 1
    fi
    said "$name" "$pattern"
}

# refused NAME PATTERN ARGUMENT...: the command fails and says why.
refused() {
    name=$1 pattern=$2
    shift 2
    out=$("$PROGRAM" "$@" 2>&1)
    code=$?
    if [ $code -eq 0 ]; then
        printf 'not ok %s %s: no failure of %s\n%s\n' "$((COUNT + 1))" "$name" "$*" "$out"
        exit 1
    fi
    said "$name" "$pattern"
}
