# A long text for the programs here; sourced by bash after tools/common.sh.

# Prints the path of the Jargon File, which tools/setup fetches, or of the
# licence where it is missing: shorter, so repeated more often.
default_text() {
  local text="$DEPS_DIR/documents/jargon.txt"
  if [ ! -f "$text" ]; then
    echo "$text is missing (tools/setup fetches it); using LICENSE" >&2
    text="$ROOT/LICENSE"
  fi
  echo "$text"
}

# Builds a program and gets the model, then runs the program with the given
# options, which may replace --model and --text.
#   run_program NAME [OPTION...]
run_program() {
  local program=$1
  shift
  export LONGHAND_CMAKE_OPTIONS="${LONGHAND_CMAKE_OPTIONS:-} -DLONGHAND_BUILD_BENCH=ON"
  step "Building"
  "$ROOT/tools/build" "$program" >&2
  local command=("$BUILD_DIR/bin/$program")
  case " $* " in
    *" --help "*|*" -h "*) exec "${command[@]}" --help ;;
    *" --model "*|*" --model="*) ;;
    *) "$ROOT/tools/get_model" >&2; command+=(--model "$MODEL_DIR") ;;
  esac
  case " $* " in
    *" --text "*|*" --text="*) ;;
    *) command+=(--text "$(default_text)") ;;
  esac
  exec "${command[@]}" "$@"
}
