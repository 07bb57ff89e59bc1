# What `tune apply` sets and `tune revert` puts back; read by `tune`, which has the table and the judging.
# shellcheck shell=bash disable=SC2154
#
# What was there before is written down first, once, in $root/var/lib/gateway-tuning: `former` has a line for each
# value and each file, `files/` the files themselves. A second `apply` judges by what was there before the first, so
# it changes nothing, and another profile leaves nothing of the one before it. Killed at any line, both can be run
# again.

mark='# Written by kernel-tuning/tune, which takes it away by: tune revert'
declare -A former=() # by path, of what is set now or was set by an earlier apply
declare -A was=()    # by path of a file: kept | none
set_paths=() set_values=()
declare -A content=() # of each file that is written

sysctl_file=/etc/sysctl.d/90-gateway.conf
tmpfiles_file=/etc/tmpfiles.d/90-gateway.conf
limits_file=/etc/security/limits.d/90-gateway.conf

need_root() {
    if [ "$dry_run" = no ] && [ -z "$root" ] && [ "$(id -u)" != 0 ]; then fail "$command needs root; --dry-run shows what it would do"; fi
    state_folder=$root/var/lib/gateway-tuning
}

read_former() {
    local kind path rest
    [ -f "$state_folder/former" ] || return 0
    while IFS=$'\t' read -r kind path rest; do
        case $kind in
            value) former[$path]=$rest ;;
            file) was[$path]=$rest ;;
        esac
    done <"$state_folder/former"
}

# Writes a file as a whole, or not at all.
put() {
    mkdir -p "$(dirname "$1")"
    printf '%s\n' "$2" >"$1.new"
    sync "$1.new"
    mv "$1.new" "$1"
}

write_former() {
    local path text=''
    for path in "${!former[@]}"; do text+="value"$'\t'"$path"$'\t'"${former[$path]}"$'\n'; done
    for path in "${!was[@]}"; do text+="file"$'\t'"$path"$'\t'"${was[$path]}"$'\n'; done
    put "$state_folder/former" "$(sort <<<"${text%$'\n'}")"
}

# The value that a file gets that has $1, which is not good enough: of numbers none gets worse.
better() {
    local have=() want=() index
    read -r -a have <<<"$1"
    read -r -a want <<<"$wanted"
    case $how in
        covers)
            case $1 in none) echo "$wanted" ;; *) echo "$1,$wanted" ;; esac
            return
            ;;
        one-of) echo "${want[0]}" && return ;;
    esac
    for index in "${!want[@]}"; do
        if [ "$how" = at-least ] && less "${want[index]}" "${have[index]}"; then want[index]=${have[index]}; fi
        if [ "$how" = at-most ] && less "${have[index]}" "${want[index]}"; then want[index]=${have[index]}; fi
    done
    echo "${want[*]}"
}

# Decides what each value is to be, by what it was before the first apply.
plan_values() {
    local id path base
    for id in "${ids[@]}"; do
        case ${field["$id read"]} in sysctl | 'file '* | 'files '*) ;; *) continue ;; esac
        [ -z "${field["$id fix"]:-}" ] || continue
        wanted_of "$id"
        while IFS= read -r path; do
            [ -f "$root$path" ] || continue
            if [ -n "${former[$path]+set}" ]; then base=${former[$path]}; else base=$(words_of "$root$path"); fi
            judge "${base:-none}"
            if [ "$state" = change ]; then
                former[$path]=$base
                plan_value "$id" "$path" "$(better "${base:-none}")"
            elif [ -n "${former[$path]+set}" ]; then
                set_paths+=("$path") set_values+=("$base")
            fi
        done < <(paths_of "$id")
    done
}

plan_value() {
    set_paths+=("$2") set_values+=("$3")
    case $2 in
        /proc/sys/*) content[$sysctl_file]+="# ${field["$1 why"]}"$'\n'"$1 = $3"$'\n' ;;
        *) content[$tmpfiles_file]+="w $2 - - - - $3"$'\n' ;;
    esac
}

plan_limits() {
    local files locked
    wanted_of limit.nofile
    files=$wanted
    wanted_of limit.memlock
    locked=$wanted
    content[$limits_file]="$user soft nofile $files"$'\n'"$user hard nofile $files"$'\n'
    # In KiB there, in bytes in the unit.
    content[$limits_file]+="$user soft memlock $((locked / 1024))"$'\n'"$user hard memlock $((locked / 1024))"$'\n'
    content[$unit_file]="[Service]"$'\n'"LimitNOFILE=$files"$'\n'"LimitMEMLOCK=$locked"$'\n'
}

write_value() {
    local now
    now=$(words_of "$root$1")
    [ "$now" != "$2" ] || return 0
    if [ "$dry_run" = yes ]; then
        echo "would set $1: ${now:-nothing} -> ${2:-nothing}"
    elif printf '%s\n' "$2" 2>/dev/null >"$root$1"; then
        echo "set $1: ${now:-nothing} -> ${2:-nothing}"
    else
        echo "tune: $1 cannot be set to $2" >&2
        failed=yes
    fi
}

write_file() {
    local text=$mark$'\n'${content[$1]%$'\n'}
    if [ "$text" = "$(cat "$root$1" 2>/dev/null || true)" ]; then return; fi
    if [ "$dry_run" = yes ]; then
        printf 'would write %s:\n' "$1"
        while IFS= read -r line; do echo "    $line"; done <<<"$text"
    else
        put "$root$1" "$text"
        echo "wrote $1"
    fi
}

# Puts a file back to what it was before the first apply.
restore_file() {
    if [ "$dry_run" = yes ]; then
        echo "would restore $1"
    elif [ "${was[$1]}" = none ]; then
        rm -f "$root$1" "$root$1.new"
        # Of the folders only the unit's is nobody else's.
        case $1 in *.service.d/*) rmdir --ignore-fail-on-non-empty "$(dirname "$root$1")" 2>/dev/null || true ;; esac
        echo "removed $1"
    else
        # A copy first: while it is there, this can be done again.
        cp -p "$state_folder/files$1" "$root$1.new"
        mv "$root$1.new" "$root$1"
        echo "restored $1"
    fi
}

# Keeps a file that apply is about to write for the first time.
keep_file() {
    [ -z "${was[$1]+set}" ] || return 0
    was[$1]=none
    if [ -e "$root$1" ]; then
        was[$1]=kept
        mkdir -p "$(dirname "$state_folder/files$1")"
        cp -p "$root$1" "$state_folder/files$1"
        sync "$state_folder/files$1"
    fi
}

apply() {
    local path index failed=no
    need_root
    unit_file=/etc/systemd/system/$unit.service.d/90-tuning.conf
    read_former
    plan_values
    plan_limits
    if [ "$dry_run" = no ]; then
        for path in "${!content[@]}"; do keep_file "$path"; done
        write_former
    fi
    for path in "$sysctl_file" "$tmpfiles_file" "$limits_file" "$unit_file"; do
        if [ -n "${content[$path]+set}" ]; then write_file "$path"; fi
    done
    # What an earlier apply wrote for a profile, a user or a unit that is no longer meant.
    for path in "${!was[@]}"; do
        if [ -z "${content[$path]+set}" ]; then
            restore_file "$path"
            unset "was[$path]"
        fi
    done
    if [ "$dry_run" = no ]; then write_former; fi
    for index in "${!set_paths[@]}"; do write_value "${set_paths[index]}" "${set_values[index]}"; done
    if [ "$dry_run" = no ]; then echo "profile ${profile##*/} is set; limits hold from the next start: systemctl daemon-reload && systemctl restart $unit"; fi
    [ "$failed" = no ]
}

revert() {
    local path failed=no
    need_root
    read_former
    if ((${#former[@]} + ${#was[@]} == 0)); then echo "nothing to revert"; fi
    for path in "${!former[@]}"; do
        [ ! -f "$root$path" ] || write_value "$path" "${former[$path]}"
    done
    for path in "${!was[@]}"; do restore_file "$path"; done
    if [ "$dry_run" = no ] && [ "$failed" = no ]; then rm -rf "$state_folder"; fi
    [ "$failed" = no ]
}
