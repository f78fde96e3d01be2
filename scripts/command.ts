/** What a command is: a name, help with an example, options, and what it does. One file each in commands/. */
import type { Command } from 'commander';

/** Adds one command to the program. */
export type RegisterCommand = (program: Command) => void;
