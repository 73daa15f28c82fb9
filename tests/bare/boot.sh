# Starts a root as a machine of its own: boot.sh ROOT UID SCRIPT. Runs as the first process of a
# mount and a process namespace, as the real root: what is mounted ends with the namespace.
set -eu
root=$1 user=$2 script=$3
mount --bind "$root" "$root"
cd "$root"
mount -t proc proc proc
mount --rbind /sys sys
mount -t tmpfs -o mode=755 dev dev
for node in null zero full random urandom tty; do
    : >"dev/$node"
    mount --bind "/dev/$node" "dev/$node"
done
mkdir dev/shm dev/pts
mount -t tmpfs -o mode=1777 shm dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for stream in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${stream%:*}" "dev/${stream#*:}"; done
mount -t tmpfs -o mode=755 run run
# Not chroot: in a changed root the kernel gives an ordinary user no user namespace.
pivot_root . .
umount -l .
cd /
# Not exec: this shell is process 1 and collects orphans.
setpriv --reuid "$user" --regid "$user" --init-groups --inh-caps=-all sh -c "$script" </dev/null
exit $?
