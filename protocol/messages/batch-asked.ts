/** batch.asked: a person wants a batch now, or a rebuild; the scheduler's leader answers with the batch's id, or why not. */
import Type from 'typebox';
import { BatchId } from './fields.js';

export const BatchAsked = Type.Object({
  kind: Type.Union([Type.Literal('batch'), Type.Literal('rebuild')]),
  /** Chosen by who asks: a question that is put again with it is the same question. */
  id: Type.Optional(Type.String({ maxLength: 64 })),
});
export type BatchAsked = Type.Static<typeof BatchAsked>;

export const BatchAnswer = Type.Object({
  /** The batch that was started; null: nothing new, so none was needed. */
  batch: Type.Union([BatchId, Type.Null()]),
  error: Type.Optional(Type.String()),
});
export type BatchAnswer = Type.Static<typeof BatchAnswer>;
