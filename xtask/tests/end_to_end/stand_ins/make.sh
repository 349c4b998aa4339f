#!/bin/sh
# Does what the harness asks of make: a `.config` out of the fragment, a file for the image. Of the bench's environment
# nothing reaches it: what it is to do otherwise stands next to it. It is confined as make is, and writes objects only.
does=$(cat "${0%/*}/make.does")
hang() {
    # One object is complete, and one is being made: as make does, it is removed when make is told to end.
    echo object > "$out/whole.o" && echo half > "$out/half.o"
    trap 'rm -f "$out/half.o"; exit 2' TERM
    sleep 1000 &
    wait
}
for arg; do
    case "$arg" in
    O=*) out=${arg#O=} ;;
    KCONFIG_ALLCONFIG=*) fragment=${arg#KCONFIG_ALLCONFIG=} ;;
    esac
    target=$arg
done
tree=$2
env > "$out/make.env"
# Which files of the source may be executed.
(cd "$tree" && find . -path ./patchproof-objects -prune -o -type f -perm -u+x -print | sort) > "$out/make.modes"
if [ "$target" = allnoconfig ]; then
    if [ "$does" = hangs-configuring ]; then hang; fi
    cp "$fragment" "$out/.config" || exit 2
    echo "# configuration written to .config"
    if [ "$does" = loses-symbol ]; then sed -i /PT_RECLAIM/d "$out/.config"; fi
    exit 0
fi
echo "  CC      mm/mmu_gather.o"
if grep -q tlb_remove_table_sync_rcu "$tree/mm/mmu_gather.c"; then
    case "$does" in
    compile-error) echo "$tree/mm/mmu_gather.c:315:2: error: stand-in"; exit 2 ;;
    hostile-error) printf '%s/mm/mmu_gather.c:315:2: error: \033[2J\007\342\200\256\302\233\357\277\276\r x\n' "$tree"; exit 2 ;;
    hostile-words) printf '\033]0;t\007\033[2J\342\200\256\302\233\357\277\276\r\n'; exit 2 ;;
    killed) echo "gcc: fatal error: Killed signal terminated program cc1"; exit 2 ;;
    slow) sleep 4 ;;
    disk-full) echo "x.s: fatal error: error writing: No space left on device"; exit 2 ;;
    dies) kill -9 $$ ;;
    esac
fi
if [ "$does" = hangs ]; then hang; fi
# Code of a patch that the build executes. What it must not be able to do ends the build; what it did shows afterwards.
case "$does" in
"writes "*) echo attacked >> "${does#writes }"; exit 2 ;;
"links "*) ln -f "${does#links }" "$out/link" && echo attacked >> "$out/link"; exit 2 ;;
kills) kill -9 -1; kill -9 1; kill -9 $PPID; exit 2 ;;
stays) setsid sh -c 'sleep 3; echo attacked > "$0/late"' "$out" > /dev/null 2>&1 & exit 2 ;;
"connects "*) bash -c "echo attacked > /dev/tcp/127.0.0.1/${does#connects }"; exit 2 ;;
prints) yes "a line that no build prints so often" ;;
esac
# Another source or another configuration is another image.
cat "$out/.config" "$tree/mm/mmu_gather.c" "$tree/include/asm-generic/tlb.h" > "$out/vmlinux"
printf '1000 T _stext\n1000 T tlb_remove_table\n2000 T _etext\n' > "$out/System.map"
# Something else in the place of what it has to make.
case "$does" in
*-is-link) rm "$out/${does%-is-link}" && ln -s /etc/passwd "$out/${does%-is-link}" ;;
*-is-pipe) rm "$out/${does%-is-pipe}" && mkfifo "$out/${does%-is-pipe}" ;;
*-is-directory) rm "$out/${does%-is-directory}" && mkdir "$out/${does%-is-directory}" ;;
esac
