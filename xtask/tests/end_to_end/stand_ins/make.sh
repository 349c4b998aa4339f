#!/bin/sh
# Does what the harness asks of make: a `.config` out of the fragment, a file for the image. Of the bench's environment
# nothing reaches it: what it is to do otherwise stands beside it.
env > "${0%/*}/make.env"
does=$(cat "${0%/*}/make.does")
hang() {
    sleep 1000 &
    echo $! > "${0%/*}/../pids"
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
# Another source or another configuration is another image.
cat "$out/.config" "$tree/mm/mmu_gather.c" > "$out/vmlinux"
printf '1000 T _stext\n1000 T tlb_remove_table\n2000 T _etext\n' > "$out/System.map"
