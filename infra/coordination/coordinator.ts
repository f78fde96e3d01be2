/**
 * Coordination: who works on what. A lease expires by itself and is only advice (F3): the streams' expected sequences are
 * what keeps data right.
 */
export interface Coordinator {
  /**
   * Joins a role whose `shares` (partitions; one for a role with a leader) are spread evenly over its members.
   * Calls back while a member: `gained` with a share to work on, `lost` when its lease is gone (stop at once),
   * `wanted` when another member should have it (stop cleanly, then release it).
   */
  join(role: string, instance: string, shares: number, calls: MembershipCalls): Promise<Membership>;
  close(): Promise<void>;
}

export interface MembershipCalls {
  gained(share: number): void;
  lost(share: number): void;
  wanted(share: number): void;
}

export interface Membership {
  /** Gives a share back after a clean stop, so that another may have it at once. */
  release(share: number): Promise<void>;
  /** Leaves: no more shares come; what is held is released. */
  leave(): Promise<void>;
}

/**
 * How many shares a member should hold, given how many the members hold now: even, and without moving any for its own sake. Who
 * leads goes on leading when another joins; a share moves only to who has fewer than everybody is due.
 */
export const dueShares = (shares: number, holdings: readonly number[], own: number): number => {
  const least = Math.floor(shares / holdings.length);
  const most = Math.ceil(shares / holdings.length);
  const isSomebodyShort = holdings.some((held) => held < least);
  return isSomebodyShort && own >= least ? Math.max(least, Math.min(own - 1, most)) : most;
};
