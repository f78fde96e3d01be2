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

/** How many of `shares` the member at `index` of `members` gets: even, the first ones one more. */
export const fairShare = (shares: number, members: number, index: number): number =>
  Math.floor(shares / members) + (index < shares % members ? 1 : 0);
