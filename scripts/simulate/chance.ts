/** Actors name what nobody else may have by node:crypto's random bytes: in a simulation they come from the seed too. */
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import type { Random } from '../chaos/random.js';

const real = crypto.randomBytes;

/** @returns how to go back to real chance. */
export const seedChance = (random: Random): (() => void) => {
  const changeable = crypto as { randomBytes: unknown };
  changeable.randomBytes = (length: number): Buffer => Buffer.from(Array.from({ length }, () => random.between(0, 256)));
  syncBuiltinESMExports();
  return () => {
    changeable.randomBytes = real;
    syncBuiltinESMExports();
  };
};
