/*
 * repair_tables.h - the tables of a database that is being repaired: those that stay, and new ones, made of damaged
 * tables, of logs and of tables that can't stand beside one another. One thread.
 *
 * New tables are files under new numbers that nothing refers to until the new manifest is in force; a repair that ends
 * before leaves the database as it was.
 */
#ifndef VELOCITY_REPAIR_TABLES_H
#define VELOCITY_REPAIR_TABLES_H

#include "memtable.h"
#include "survey.h"

struct repair_table {
    int level;           /* -1: not known yet */
    struct table *table; /* NULL: it was merged into others */
    bool is_new;
};

struct repair {
    struct survey *survey;
    uint64_t next_number;
    struct repair_table *tables;
    size_t count, capacity;
    /* The table that is being written. */
    table_builder *builder;
    int builder_level;
    memtable *buffer; /* operations of logs */
};

/* Keeps what is whole, and writes anew what can be read of damaged tables and of the logs. */
VELOCITY_CHECK_RESULT velocity_status repair_gather(struct repair *r);
/* Finds a level for every table, and merges those that have none. */
VELOCITY_CHECK_RESULT velocity_status repair_place(struct repair *r);
/* Lets go of everything; removes the new files if they are not wanted. */
void repair_clear(struct repair *r, bool keep_files);

#endif
