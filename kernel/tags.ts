/** What kernels that read pages share. */

/** Whether all tags of the page are apart; they lie below `used`. */
export function areApart(mask: u32, tags: usize, count: u32, used: u32, sizeAt: usize): bool {
  let unmet: u32 = 0;
  for (let itag: u32 = 0; itag < count; itag += 1) {
    const tag = tags - (<usize>itag << 2);
    const size = <u32>load<u16>(tag) & mask;
    if (size == 0) continue;
    unmet += 1;
    store<u16>(sizeAt + ((<usize>load<u16>(tag, 2) & mask) << 1), <u16>size);
  }
  for (let at: u32 = 0; at < used; ) {
    const size = <u32>load<u16>(sizeAt + (<usize>at << 1));
    if (size == 0) {
      at += 1;
      continue;
    }
    at += size;
    unmet -= 1;
  }
  for (let itag: u32 = 0; itag < count; itag += 1) {
    store<u16>(sizeAt + ((<usize>load<u16>(tags - (<usize>itag << 2), 2) & mask) << 1), 0);
  }
  return unmet == 0;
}
