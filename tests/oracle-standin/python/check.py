"""python-oracledb in thick mode over the stand-in for Oracle's client library.

An outside check: neither the driver nor what it expects was written by us. This is not Oracle.
Run by `python/run`, which starts the stand-in.
"""

import datetime
import decimal
import os
import threading

import oracledb

oracledb.init_oracle_client(lib_dir=os.environ["ORACLE_STANDIN_LIBRARY"])
oracledb.defaults.fetch_decimals = True

DSN = os.environ["ORACLE_STANDIN_DSN"].removeprefix("//")
USER = os.environ["ORACLE_STANDIN_USER"]
PASSWORD = os.environ["ORACLE_STANDIN_PASSWORD"]

checks = 0


def check(what, found, expected):
    """Compares, and counts."""
    global checks
    assert found == expected, f"{what}: {found!r}, not {expected!r}"
    checks += 1


def refused(what, run, code):
    """Runs what has to fail with a number of Oracle's."""
    try:
        run()
    except oracledb.Error as error:
        check(what, error.args[0].full_code, code)
    else:
        raise AssertionError(f"{what}: not refused")


def connect():
    return oracledb.connect(user=USER, password=PASSWORD, dsn=DSN)


def types(connection):
    cursor = connection.cursor()
    cursor.execute(
        "create table kinds (id number(9) primary key, price number(12,2), name varchar2(40 char), born date,"
        " seen timestamp(3), ratio binary_double, bytes raw(8), text clob, picture blob)"
    )
    born = datetime.datetime(1999, 12, 31, 23, 59, 59)
    seen = datetime.datetime(2026, 1, 2, 3, 4, 5, 678000)
    long_text, picture = "玩家 " * 20000, bytes(range(256)) * 500
    row = (1, decimal.Decimal("1234567890.12"), "玩家 é", born, seen, 2.5, b"\x00\xff", long_text, picture)
    cursor.setinputsizes(None, None, None, oracledb.DB_TYPE_DATE, oracledb.DB_TYPE_TIMESTAMP, oracledb.DB_TYPE_BINARY_DOUBLE,
                         None, oracledb.DB_TYPE_CLOB, oracledb.DB_TYPE_BLOB)
    cursor.execute("insert into kinds values (:1, :2, :3, :4, :5, :6, :7, :8, :9)", row)
    cursor.execute("select * from kinds")
    described = [(column[0], column[1].name) for column in cursor.description]
    check("description", described, [
        ("ID", "DB_TYPE_NUMBER"), ("PRICE", "DB_TYPE_NUMBER"), ("NAME", "DB_TYPE_VARCHAR"), ("BORN", "DB_TYPE_DATE"),
        ("SEEN", "DB_TYPE_TIMESTAMP"), ("RATIO", "DB_TYPE_BINARY_DOUBLE"), ("BYTES", "DB_TYPE_RAW"),
        ("TEXT", "DB_TYPE_CLOB"), ("PICTURE", "DB_TYPE_BLOB"),
    ])
    check("precision", cursor.description[1][4:6], (12, 2))
    found = cursor.fetchone()
    check("values", found[:7], row[:7])
    check("clob", found[7].read(), long_text)
    check("clob, in part", found[7].read(3, 2), " 玩")
    check("blob", found[8].read(), picture)
    cursor.execute("insert into kinds (id, name) values (2, :1)", [""])
    cursor.execute("select name, price, text from kinds where id = 2")
    check("null", cursor.fetchone(), (None, None, None))
    connection.commit()


def batches(connection):
    cursor = connection.cursor()
    cursor.execute("create table batch (id number(9) primary key, name varchar2(9))")
    rows = [(number, f"row {number}") for number in range(250)]
    rows[100] = (7, "twice")
    cursor.executemany("insert into batch values (:1, :2)", rows, batcherrors=True, arraydmlrowcounts=True)
    check("batch errors", [(error.offset, error.full_code) for error in cursor.getbatcherrors()], [(100, "ORA-00001")])
    counts = cursor.getarraydmlrowcounts()
    check("row counts", (len(counts), sum(counts), counts[100]), (250, 249, 0))
    cursor.execute("select count(*) from batch")
    check("rows", cursor.fetchone(), (249,))
    returned = cursor.var(int)
    cursor.execute("update batch set name = 'x' where id < 3 returning id into :ids", ids=returned)
    check("returned", sorted(returned.getvalue()), [0, 1, 2])
    returned = cursor.var(int, arraysize=2)
    cursor.setinputsizes(None, returned)
    cursor.executemany("delete from batch where id = :1 returning id into :2", [(10,), (11,)])
    check("returned, a set each", returned.values, [[10], [11]])
    connection.rollback()


def blocks(connection):
    cursor = connection.cursor()
    cursor.execute("create or replace procedure twice(p_in number, p_out out number, p_rows out sys_refcursor) is begin"
                   " p_out := p_in * 2; open p_rows for select p_in as a from dual; end;")
    out, rows = cursor.var(int), connection.cursor()
    cursor.callproc("twice", [21, out, rows])
    check("procedure", out.getvalue(), 42)
    check("cursor", rows.fetchall(), [(21,)])
    refused("unhandled", lambda: cursor.execute("begin raise_application_error(-20001, 'no'); end;"), "ORA-20001")


def errors(connection):
    cursor = connection.cursor()
    refused("no table", lambda: cursor.execute("select * from missing"), "ORA-00942")
    refused("no column", lambda: cursor.execute("select missing from dual"), "ORA-00904")
    refused("login", lambda: oracledb.connect(user=USER, password="wrong", dsn=DSN), "ORA-01017")
    refused("no listener", lambda: oracledb.connect(user=USER, password="x", dsn="127.0.0.1:1/x"), "ORA-12541")
    connection.call_timeout = 200
    refused("too long", lambda: cursor.execute("select pg_sleep(60) from dual"), "DPY-4024")
    connection.call_timeout = 0
    check("goes on", connection.is_healthy(), True)
    cursor.execute("create table locked (id number)")
    cursor.execute("insert into locked values (1)")
    connection.commit()
    with connect() as other:
        other.cursor().execute("select id from locked for update")
        refused("locked", lambda: cursor.execute("select id from locked for update nowait"), "ORA-00054")


def threads():
    found = []

    def work(number):
        with connect() as connection:
            cursor = connection.cursor()
            for step in range(20):
                cursor.execute("select :a * 100 + :b from dual", a=number, b=step)
                found.append(int(cursor.fetchone()[0]))

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    check("threads", sorted(found), sorted(number * 100 + step for number in range(4) for step in range(20)))


def main():
    with connect() as connection:
        assert not connection.thin
        check("version", connection.version, "19.3.0.0.0")
        types(connection)
        batches(connection)
        blocks(connection)
        errors(connection)
    threads()
    print(f"python-oracledb {oracledb.__version__}, thick mode, over the stand-in (not Oracle): {checks} checks passed")


main()
