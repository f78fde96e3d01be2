/** `tidemark rebuild`: the batch view from all raw data, now; ends when it is proved. */
import type { RegisterCommand } from '../command.js';
import { addBatchCommand } from './batch.js';

export const register: RegisterCommand = (program) =>
  addBatchCommand(
    program,
    'rebuild',
    'makes the batch view anew from all raw data, now; ends when it is proved',
    'tidemark rebuild --wait 2h',
  );
