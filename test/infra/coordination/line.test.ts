import fc from 'fast-check';
import t from 'tap';
import { nextTurn, type Place, placePrefix, readPlace } from '../../../infra/coordination/line.js';

/** ZooKeeper and members in memory: what one sees may be as old as its own last step, and steps come in any order. */
class Lines {
  readonly members: string[] = [];
  places: Place[] = [];
  /** Two members that work on one share at once. */
  readonly doubles: string[] = [];
  readonly held = new Map<string, Map<number, { node: string; wanted: boolean }>>();
  private readonly givenUp = new Map<string, Set<string>>();
  private number = 0;

  constructor(readonly shares: number) {}

  join(me: string): void {
    this.members.push(me);
    this.held.set(me, new Map());
    this.givenUp.set(me, new Set());
  }

  /** As a killed process does: its nodes go with its session. */
  vanish(me: string): void {
    this.members.splice(this.members.indexOf(me), 1);
    this.places = this.places.filter(({ member }) => member !== me);
    this.held.delete(me);
  }

  turn(me: string) {
    const held = this.held.get(me) as Map<number, { node: string; wanted: boolean }>;
    const givenUp = this.givenUp.get(me) as Set<string>;
    const turn = nextTurn({ me, shares: this.shares, members: this.members, places: this.places, held, givenUp });
    for (const share of turn.lost) held.delete(share);
    for (const { share, node } of turn.gained) {
      held.set(share, { node, wanted: false });
      const others = [...this.held].filter(([other, shares]) => other !== me && shares.has(share));
      if (others.length > 0) this.doubles.push(`${share}: ${me} and ${others[0]?.[0]}`);
    }
    for (const node of turn.giveUp) this.remove(node);
    for (const share of turn.wanted) {
      this.remove(held.get(share)?.node as string); // it stops, then releases
      held.delete(share);
    }
    for (const share of turn.stand) {
      const node = `${placePrefix(share, me)}${String(this.number++).padStart(10, '0')}`;
      this.places.push(readPlace(node) as Place);
    }
    return turn;
  }

  /** Turns of all, until nobody has anything to do. */
  settle(): number {
    for (let rounds = 1; rounds < 200; rounds++) {
      const turns = [...this.members].map((me) => this.turn(me));
      if (turns.every((turn) => [...turn.stand, ...turn.giveUp, ...turn.gained, ...turn.lost, ...turn.wanted].length === 0)) return rounds;
    }
    return Number.POSITIVE_INFINITY;
  }

  holdings(): number[] {
    return this.members.map((me) => this.held.get(me)?.size ?? 0);
  }

  private remove(node: string): void {
    this.places = this.places.filter((place) => place.node !== node);
  }
}

t.test('L1: whoever comes and goes, each share has one member in the end, none ever two, and all have as many', (t) => {
  const step = fc.record({ what: fc.constantFrom('join', 'vanish', 'turn', 'turn', 'turn', 'settle'), who: fc.nat(5) });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 9 }), fc.array(step, { maxLength: 60 }), (shares, steps) => {
      const lines = new Lines(shares);
      lines.join('m0');
      for (const { what, who } of steps) {
        const name = `m${who}`;
        const isThere = lines.members.includes(name);
        if (what === 'join' && !isThere) lines.join(name);
        if (what === 'vanish' && isThere && lines.members.length > 1) lines.vanish(name);
        if (what === 'turn' && isThere) lines.turn(name);
        if (what === 'settle') lines.settle();
      }
      const rounds = lines.settle();
      const holdings = lines.holdings();
      const sum = holdings.reduce((a, b) => a + b, 0);
      return rounds < 200 && lines.doubles.length === 0 && sum === shares && Math.max(...holdings) - Math.min(...holdings) <= 1;
    }),
    { numRuns: 500 },
  );
  t.end();
});

t.test('who leads goes on leading when others join', (t) => {
  const lines = new Lines(1);
  lines.join('first');
  lines.settle();
  lines.join('second');
  lines.join('third');
  lines.settle();
  t.equal(lines.held.get('first')?.size, 1);
  lines.vanish('first');
  lines.settle();
  t.equal(lines.held.get('second')?.size, 1, 'the next in line follows');
  t.end();
});

const alone = { me: 'a', shares: 1, members: ['a', 'b'], held: new Map(), givenUp: new Set<string>() };
const placesOf = (...nodes: string[]): Place[] => nodes.map((node) => readPlace(node) as Place);

t.test('L2: a place that is being given up is not taken, though it is seen at the head once more', (t) => {
  const places = placesOf('0.a.0000000001', '0.b.0000000002');
  t.equal(nextTurn({ ...alone, places }).gained.length, 1);
  const turn = nextTurn({ ...alone, places, givenUp: new Set(['0.a.0000000001']) });
  t.same(turn, { stand: [], giveUp: ['0.a.0000000001'], gained: [], lost: [], wanted: [], watch: [] });
  t.end();
});

t.test('L3: only the one before it is watched', (t) => {
  const places = placesOf('0.c.0000000009', '0.a.0000000010', '0.b.0000000003', '0.d.0000000011');
  t.same(nextTurn({ ...alone, places }).watch, ['0.c.0000000009']);
  t.same(nextTurn({ ...alone, me: 'd', places }).watch, ['0.a.0000000010']);
  t.same(nextTurn({ ...alone, me: 'b', places }).watch, []);
  t.end();
});

t.test('who is not seen among the members, or not in the line, neither takes nor gives', (t) => {
  const places = placesOf('0.a.0000000001');
  t.same(nextTurn({ ...alone, members: ['b'], places }).gained, []);
  const held = new Map([[0, { wanted: false }]]);
  t.same(nextTurn({ ...alone, members: ['b'], places, held }).wanted, []);
  t.same(nextTurn({ ...alone, places: [], held }).lost, [0]);
  t.same(nextTurn({ ...alone, places: [], held }).stand, [0]);
  t.same(nextTurn({ ...alone, places: placesOf('0.a.0000000001', '0.a.0000000002') }).giveUp, ['0.a.0000000002'], 'of two places one goes');
  t.equal(readPlace('members'), undefined);
  t.equal(readPlace('0.a.12'), undefined);
  t.end();
});
