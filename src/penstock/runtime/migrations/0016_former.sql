-- What contacts of Brevo were known by before, hashed: who is deleted is forgotten by a former address too.
create table contacts_former (
    account text not null,
    contact bigint not null,
    person $BLOB not null,
    primary key (account, contact, person)
)$WITHOUT_ROWID;
