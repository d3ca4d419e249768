/*
 * epoch.h - lets readers follow shared pointers without locks or reference counts: what a writer has unlinked is freed
 * only after every reader that might still see it has left.
 *
 * A reader brackets its work with epoch_enter / epoch_leave; between them every pointer it loaded from shared memory
 * stays valid. A writer first makes an object unreachable for new readers, then retires it; it is destroyed once all
 * readers that were inside at that moment have left. Readers must not wait for anybody inside (a read from disk is
 * fine: it only delays frees).
 *
 * One state per process, because threads are: a record per thread, kept in a list that only grows; a record is reused
 * when its thread ends. (Fraser, "Practical lock-freedom", 2004: epoch-based reclamation.)
 */
#ifndef VELOCITY_EPOCH_H
#define VELOCITY_EPOCH_H

#include "velocity.h"

/* Sections of one thread may nest. */
void epoch_enter(void);
void epoch_leave(void);

/* A small number that no other living thread has; UINT32_MAX: no memory to give it one. */
#define epoch_thread_number() (epoch_number_of_thread ? epoch_number_of_thread - 1 : epoch_number_thread())
extern _Thread_local uint32_t epoch_number_of_thread; /* epoch.c's; one more, 0: none yet */
uint32_t epoch_number_thread(void);

/* Embedded in what is retired: retiring allocates nothing and can't fail. */
struct epoch_item {
    struct epoch_item *next;
    void (*destroy)(struct epoch_item *item);
};

/*
 * destroy(item) runs later, on whichever thread finds that it may, outside all epoch sections and locks of epoch.c; it
 * may retire further items and use sections, not drain. May be called inside a section. Any destroyer may run in a call
 * of epoch_retire and in the epoch_leave that ends a thread's outermost section: hold no lock there that one takes. On
 * a quiet system the last few items stay until somebody retires more, collects or drains.
 */
void epoch_retire(struct epoch_item *item, void (*destroy)(struct epoch_item *item));

/*
 * Tries at once, or at the end of the section, what retirements try now and then: for items that hold much memory or a
 * file. Never waits.
 */
void epoch_collect(void);

/* Returns when everything retired before the call has been destroyed. Not inside a section. */
void epoch_drain(void);

#endif
