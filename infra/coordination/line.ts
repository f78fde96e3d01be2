/**
 * Standing in line: for each share of a role every member has a place in a line, and who is at its head may have the share.
 * What one member should do next is decided here, from what it sees and without I/O, so that members who all decide so end with
 * even holdings, whatever they see late.
 *
 * L1  A member takes a share only while it is at the head of that share's line.
 * L2  It never takes a share on a place that it has begun to give up.
 * L3  It watches nobody but its predecessor in a line.
 */
import { dueShares } from './coordinator.js';

/** A place in a line. Its node is named `<share>.<member>.<number>`; numbers grow in the order in which places were taken. */
export interface Place {
  readonly node: string;
  readonly share: number;
  readonly member: string;
  readonly number: number;
}

/** What a node is named before it has its number. */
export const placePrefix = (share: number, member: string): string => `${share}.${member}.`;

/** @returns undefined for a node that is no place */
export const readPlace = (node: string): Place | undefined => {
  const [, share, member, number] = /^(\d{1,4})\.([^.]+)\.(\d{10})$/.exec(node) ?? [];
  return member === undefined ? undefined : { node, share: Number(share), member, number: Number(number) };
};

/** What one member sees of its role, and holds. */
export interface Sight {
  readonly me: string;
  readonly shares: number;
  readonly members: readonly string[];
  readonly places: readonly Place[];
  /** Shares that I work on, and whether somebody else should have them. */
  readonly held: ReadonlyMap<number, { readonly wanted: boolean }>;
  /** Nodes of mine that are being removed. */
  readonly givenUp: ReadonlySet<string>;
}

export interface Turn {
  /** Shares whose lines I am in no longer, or not yet. */
  readonly stand: readonly number[];
  /** Nodes of mine to remove: I was at the head and another should be, or I had two places. */
  readonly giveUp: readonly string[];
  /** My places at the head of lines whose shares I take. */
  readonly gained: readonly Place[];
  readonly lost: readonly number[];
  /** Shares that I hold and another should have. */
  readonly wanted: readonly number[];
  /** Nodes in front of mine. */
  readonly watch: readonly string[];
}

const lineOf = (places: readonly Place[], share: number): Place[] =>
  places.filter((place) => place.share === share).sort((a, b) => a.number - b.number);

export const nextTurn = ({ me, shares, members, places, held, givenUp }: Sight): Turn => {
  const stand: number[] = [];
  const giveUp: string[] = [];
  const gained: Place[] = [];
  const lost: number[] = [];
  const watch: string[] = [];
  const lines = Array.from({ length: shares }, (_, share) => lineOf(places, share));
  const holdingOf = (member: string): number => lines.filter((line) => line[0]?.member === member).length;
  const isSeen = members.includes(me);
  const due = isSeen ? dueShares(shares, members.map(holdingOf), held.size) : 0;
  for (const [share, line] of lines.entries()) {
    const [own, ...more] = line.filter(({ member }) => member === me);
    for (const { node } of more) giveUp.push(node);
    const place = line.findIndex(({ member }) => member === me);
    if (place !== 0 && held.has(share)) lost.push(share);
    if (own === undefined) {
      stand.push(share);
    } else if (givenUp.has(own.node)) {
      giveUp.push(own.node); // L2
    } else if (place > 0) {
      watch.push((line[place - 1] as Place).node); // L3
    } else if (!held.has(share) && isSeen) {
      const mine = held.size + gained.length - lost.length;
      if (mine < due)
        gained.push(own); // L1
      else if (line.slice(1).some(({ member }) => holdingOf(member) < mine)) giveUp.push(own.node);
    }
  }
  const kept = [...held].filter(([share, { wanted }]) => !wanted && !lost.includes(share)).map(([share]) => share);
  return { stand, giveUp, gained, lost, wanted: isSeen ? kept.slice(due) : [], watch };
};
