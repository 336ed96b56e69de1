-- Texts of campaigns that were written, so that read-back results find the side they looked from.
create table written_texts (
    text text not null,                -- the subject, or what stands on the button
    language text not null,
    angle text not null,
    at $REAL not null,
    primary key (text, language)
)$WITHOUT_ROWID;

-- Results that came from elsewhere than our own campaigns.
create table angle_results (
    source text not null,              -- the campaign or file that they come from
    version text not null,
    language text not null,
    angle text not null,
    delivered bigint not null,
    opened bigint not null,
    clicked bigint not null,
    at $REAL not null,
    primary key (source, version)
)$WITHOUT_ROWID;
